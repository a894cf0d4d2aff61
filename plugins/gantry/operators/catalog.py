"""Which operator carries out which kind of step."""

from __future__ import annotations

from gantry.operators import (
    aftermath,
    backups,
    base,
    configuration_management,
    finish,
    scale_up,
    scaling,
    services,
    termination,
    turn,
    update,
)
from gantry.plan import StepKind

OPERATORS: dict[StepKind, type[base.StepOperator]] = {
    StepKind.TURN: turn.TurnOperator,
    StepKind.SCALE_UP: scale_up.ScaleUpOperator,
    StepKind.HANDSHAKE: scale_up.HandshakeOperator,
    StepKind.PREPARE_CONFIGURATION_MANAGEMENT: configuration_management.PrepareConfigurationManagementOperator,
    StepKind.EXECUTE_CONFIGURATION_MANAGEMENT: configuration_management.ExecuteConfigurationManagementOperator,
    StepKind.INSTALL_SERVICES: services.InstallServicesOperator,
    StepKind.INSTALL_DATASOURCES: services.InstallDatasourcesOperator,
    StepKind.UPDATE: update.UpdateOperator,
    StepKind.CONFIGURE: services.ConfigureOperator,
    StepKind.RESTART: services.RestartOperator,
    StepKind.CONFIGURE_REPLICANTS: services.ConfigureReplicantsOperator,
    StepKind.GRANT_ACCESS: services.GrantAccessOperator,
    StepKind.START_PROXY: services.StartProxyOperator,
    StepKind.FINISH_LAUNCH: finish.FinishLaunchOperator,
    StepKind.REMOVE_NEW_SERVERS: aftermath.RemoveNewServersOperator,
    StepKind.CHOOSE_SERVERS: scaling.ChooseServersOperator,
    StepKind.RELEASE_NODES: scaling.ReleaseNodesOperator,
    StepKind.RETIRE_SERVERS: scaling.RetireServersOperator,
    StepKind.CONFIRM: termination.ConfirmOperator,
    StepKind.ASK_SERVERS: termination.AskServersOperator,
    StepKind.STOP_PROXY: termination.StopProxyOperator,
    StepKind.STOP_SERVICE: termination.StopServiceOperator,
    StepKind.TERMINATE_SERVERS: termination.TerminateServersOperator,
    StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT: configuration_management.CleanUpConfigurationManagementOperator,
    StepKind.FINISH_TERMINATION: termination.FinishTerminationOperator,
    StepKind.BACK_UP: backups.BackUpOperator,
    StepKind.KEEP_BACKUP: backups.KeepBackupOperator,
    StepKind.CONFIRM_RESTORE: backups.ConfirmRestoreOperator,
    StepKind.RESTORE: backups.RestoreOperator,
    StepKind.KEEP_RECORD: backups.KeepRecordOperator,
}
