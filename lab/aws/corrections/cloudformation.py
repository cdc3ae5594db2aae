"""What the stack's template asks for and moto's CloudFormation does not do."""

import json
import re
from datetime import timedelta
from typing import Any, cast

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.instances import Instance
from moto.iam.models import ManagedPolicy
from moto.rds.models import DBInstance, rds_backends
from moto.secretsmanager.models import secretsmanager_backends

Properties = dict[str, Any]

SECOND = timedelta(seconds=1)

LARGEST_TEMPLATE = 51_200
"""Bytes, by AWS's list of CloudFormation's quotas."""


class SecretResource(CloudFormationModel):
    """AWS::SecretsManager::Secret, which moto's CloudFormation does not know."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        """Name the property that holds the secret's name."""
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        """Name the resource type."""
        return "AWS::SecretsManager::Secret"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "SecretResource":
        """Create the secret, its password generated as the template asks."""
        properties = cloudformation_json["Properties"]
        backend = secretsmanager_backends[account_id][region_name]
        generate = properties["GenerateSecretString"]
        content = json.loads(generate["SecretStringTemplate"])
        content[generate["GenerateStringKey"]] = _random_password(
            backend, int(generate.get("PasswordLength", 32))
        )
        answer = backend.create_secret(
            name=resource_name,
            secret_string=json.dumps(content),
            secret_binary=None,
            description=properties.get("Description"),
            tags=properties.get("Tags"),
            kms_key_id=None,
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )
        return cls(json.loads(answer)["ARN"])

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: "SecretResource", *_: Any, **__: Any
    ) -> "SecretResource":
        """Keep the secret: an update of the stack does not generate a new one."""
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
    ) -> None:
        """Delete it for good: CloudFormation leaves no time to take that back."""
        del cloudformation_json
        backend = secretsmanager_backends[account_id][region_name]
        backend.delete_secret(
            resource_name,
            recovery_window_in_days=None,
            force_delete_without_recovery=True,
        )


def zones_are_those_of(region: str) -> None:
    """Moto answers Fn::GetAZs with the zones of us-east-1 in every region."""
    parsing.DEFAULT_REGION = region


def large_templates_are_refused() -> None:
    """Moto takes a template of any size with a call, without a bucket for it."""
    model: Any = CloudFormationResponse
    original = model._get_param

    def get_param(self: Any, name: str, *rest: Any) -> Any:
        value = original(self, name, *rest)
        if name == "TemplateBody" and len((value or "").encode()) > LARGEST_TEMPLATE:
            raise ValidationError(
                message="1 validation error detected: Value at 'templateBody' failed "
                "to satisfy constraint: Member must have length less than or equal to "
                f"{LARGEST_TEMPLATE}"
            )
        return value

    model._get_param = get_param


def secrets_can_be_in_a_stack() -> None:
    """Moto's CloudFormation has no secrets; ``SecretResource`` is found by its type."""
    parsing.get_model_list.cache_clear()
    parsing.get_model_map.cache_clear()
    parsing.get_name_type_map.cache_clear()


def database_versions_are_recent() -> None:
    """Moto's newest database versions are ten years old, and it has no MariaDB."""
    DBInstance.default_engine_versions.update(
        {"postgres": "17.6", "mysql": "8.4.6", "mariadb": "11.8.3"}
    )


def instances_keep_their_properties() -> None:
    """Moto ignores three properties of AWS::EC2::Instance.

    They are SecurityGroupIds, SourceDestCheck and MetadataOptions.
    """
    _replace(Instance, "create_from_cloudformation_json", _create_instance)


def elastic_ips_keep_their_tags() -> None:
    """Moto drops the tags of AWS::EC2::EIP."""
    _replace(ElasticAddress, "create_from_cloudformation_json", _create_elastic_ip)


def databases_keep_their_properties() -> None:
    """Moto ignores ManageMasterUserPassword, and DeletionProtection.

    It gives every master secret one text, and fails on a parameter group of the stack.
    """
    _replace(DBInstance, "create_from_cloudformation_json", _create_database)


def managed_policies_are_updated_in_place() -> None:
    """Moto cannot update them: what a changed template says has no effect."""
    _replace(ManagedPolicy, "update_from_cloudformation_json", _update_policy)


def groups_are_updated_in_place() -> None:
    """Moto replaces the whole group on UpdateStack; AWS changes it in place."""
    _replace(FakeAutoScalingGroup, "update_from_cloudformation_json", _update_group)


def _replace(model: Any, method: str, correction: Any) -> None:
    """Put a correction around a class method; it gets the original first."""
    original = getattr(model, method)

    def corrected(_: Any, *args: Any, **kwargs: Any) -> Any:
        return correction(original, *args, **kwargs)

    setattr(model, method, classmethod(corrected))


def _create_instance(
    original: Any, name: str, resource: Properties, account: str, region: str, **kw: Any
) -> Any:
    instance = original(name, resource, account, region, **kw)
    backend = ec2_backends[account][region]
    properties = resource["Properties"]
    if groups := properties.get("SecurityGroupIds"):
        backend.modify_instance_security_groups(instance.id, groups)
        for interface in instance.nics.values():
            backend.modify_network_interface_attribute(interface.id, groups)
    checked = properties.get("SourceDestCheck", True)
    backend.modify_instance_attribute(instance.id, "source_dest_check", checked)
    _set_metadata_options(backend, instance, properties.get("MetadataOptions", {}))
    _launch_after_others(backend, instance)
    return instance


def _launch_after_others(backend: Any, instance: Any) -> None:
    """Moto launches all instances in one second, which is as fine as AWS tells it.

    On AWS an instance that depends on another one is launched many seconds later.
    """
    others = (i.launch_time for i in backend.all_instances() if i is not instance)
    latest = max(others, default=instance.launch_time - SECOND)
    instance.launch_time = max(instance.launch_time, latest + SECOND)
    for interface in instance.nics.values():
        interface.attach_time = instance.launch_time


def _create_elastic_ip(
    original: Any, name: str, resource: Properties, account: str, region: str, **kw: Any
) -> Any:
    address = original(name, resource, account, region, **kw)
    tags = (resource.get("Properties") or {}).get("Tags", [])
    ec2_backends[account][region].create_tags(
        [address.allocation_id], {tag["Key"]: tag["Value"] for tag in tags}
    )
    return address


def _create_database(
    original: Any, name: str, resource: Properties, account: str, region: str, **kw: Any
) -> Any:
    properties = resource["Properties"]
    if group := properties.get("DBParameterGroupName"):
        properties["DBParameterGroupName"] = getattr(group, "name", group)
    database = original(name, resource, account, region, **kw)
    database.deletion_protection = properties.get("DeletionProtection") == "true"
    if not properties.get("ManageMasterUserPassword"):
        return database
    rds_backends[account][region].modify_db_instance(
        database.db_instance_identifier, {"manage_master_user_password": True}
    )
    secrets: Any = secretsmanager_backends[account][region]
    content = {
        "username": properties["MasterUsername"],
        "password": _random_password(secrets, 28),
    }
    secrets.put_secret_value(
        database.master_user_secret.secret_arn,
        json.dumps(content),
        secret_binary=None,
        client_request_token=None,
        version_stages=["AWSCURRENT"],
    )
    return database


def _update_policy(_: Any, **kwargs: Any) -> Any:
    policy = kwargs["original_resource"]
    document = kwargs["cloudformation_json"]["Properties"]["PolicyDocument"]
    for version in policy.versions:
        if version.is_default:
            version.document = json.dumps(document)
    return policy


def _update_group(_: Any, **kwargs: Any) -> Any:
    group = kwargs["original_resource"]
    properties = kwargs["cloudformation_json"]["Properties"]
    # Fewer instances: the newest go, as the template's termination policy says.
    group.instance_states.sort(key=lambda s: s.instance.launch_time, reverse=True)
    group.update(
        availability_zones=None,
        desired_capacity=int(properties.get("DesiredCapacity", properties["MinSize"])),
        max_size=int(properties["MaxSize"]),
        min_size=int(properties["MinSize"]),
        launch_config_name=None,
        launch_template=properties["LaunchTemplate"],
        vpc_zone_identifier=",".join(properties["VPCZoneIdentifier"]),
        health_check_period=None,
        health_check_type=properties.get("HealthCheckType"),
    )
    return group


def groups_launch_what_their_template_says() -> None:
    """Moto starts a group's instances in one subnet, and ignores some properties.

    They are the template's KeyName, MetadataOptions, IamInstanceProfile, and the tags
    that it has for network interfaces.
    """
    model: Any = FakeAutoScalingGroup
    original = model.replace_autoscaling_group_instances

    def launch(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        subnets = self.vpc_zone_identifier
        for _ in range(count_needed):
            held = [s.instance.subnet_id for s in self.instance_states]
            choice = min(subnets.split(","), key=held.count)
            self.vpc_zone_identifier = choice
            original(self, 1, propagated_tags)
            self.vpc_zone_identifier = subnets
            version = self.ec2_launch_template.get_version(self.launch_template_version)
            backend = self.autoscaling_backend.ec2_backend
            _complete(backend, self.instance_states[-1].instance, version.data)

    model.replace_autoscaling_group_instances = launch


def _complete(backend: Any, instance: Any, data: Properties) -> None:
    """Give an instance what its launch template says and moto did not do."""
    _set_metadata_options(backend, instance, data.get("MetadataOptions", {}))
    instance.key_name = data.get("KeyName")
    if profile := data.get("IamInstanceProfile"):
        backend.associate_iam_instance_profile(
            instance.id, iam_instance_profile_arn=profile["Arn"]
        )
    for specified in data.get("TagSpecifications", []):
        if specified["ResourceType"] == "network-interface":
            tags = {tag["Key"]: tag["Value"] for tag in specified["Tags"]}
            backend.create_tags([nic.id for nic in instance.nics.values()], tags)
    _launch_after_others(backend, instance)


def parameters_are_seen_in_texts() -> None:
    """Moto changes what has a Ref to a changed parameter, but not what has a Sub."""
    original: Any = parsing.get_references_from_template

    def references(template: Any) -> Any:
        texts = json.dumps(template, default=str)
        return [*original(template), *re.findall(r"\$\{(\w+)\}", texts)]

    parsing.get_references_from_template = references


def no_value_leaves_lists() -> None:
    """Moto leaves a null in a list where the template says AWS::NoValue."""
    original: Any = parsing.clean_json

    def clean_json(resource_json: Any, resources_map: Any) -> Any:
        cleaned = original(resource_json, resources_map)
        if isinstance(resource_json, list):
            return [value for value in cleaned if value is not None]
        return cleaned

    parsing.clean_json = clean_json


def _set_metadata_options(backend: Any, instance: Any, options: Properties) -> None:
    backend.modify_instance_metadata_options(
        instance.id,
        http_tokens=options.get("HttpTokens", "optional"),
        hop_limit=int(options.get("HttpPutResponseHopLimit", 1)),
        http_endpoint="enabled",
        http_protocol="disabled",
        metadata_tags=options.get("InstanceMetadataTags", "disabled"),
    )


def _random_password(backend: Any, length: int) -> str:
    answer = backend.get_random_password(
        password_length=length,
        exclude_characters="",
        exclude_numbers=False,
        exclude_punctuation=True,
        exclude_uppercase=False,
        exclude_lowercase=False,
        include_space=False,
        require_each_included_type=True,
    )
    return cast(str, json.loads(answer)["RandomPassword"])
