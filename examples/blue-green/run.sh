#!/bin/sh
# Brings a release of the shop in on a fleet of its own, beside the one that serves, and moves the customers over in one
# step; the old fleet is terminated some time later. With plain aws commands. Needs a running `longshore server` and its
# three export lines. Run it again with the number of another release to bring that in: ./run.sh 2
set -eu
cd "$(dirname "$0")"
: "${AWS_ENDPOINT_URL:?Set the export lines that longshore server prints when it starts.}"
release=${1:-1}
instances=${INSTANCES:-2}
port=${PORT:-8001}
# How long the fleet that served before is kept.
minutes=${MINUTES:-1}
shop=../in-place-load-balanced
trust() {
    printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s"},"Action":"sts:AssumeRole"}]}' "$1"
}

if ! aws deploy get-application --application-name green-shop >/dev/null 2>&1; then
    # Who the instances are, and whom the deployments act as: they launch instances from a template, with a role.
    aws iam create-role --role-name green-web --assume-role-policy-document "$(trust ec2.amazonaws.com)" >/dev/null
    aws iam create-instance-profile --instance-profile-name green-web >/dev/null
    aws iam add-role-to-instance-profile --instance-profile-name green-web --role-name green-web
    aws iam create-role --role-name green-deploy --assume-role-policy-document "$(trust codedeploy.amazonaws.com)" >/dev/null
    aws iam attach-role-policy --role-name green-deploy \
        --policy-arn arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole
    aws iam put-role-policy --role-name green-deploy --policy-name launch --policy-document \
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:PassRole","ec2:RunInstances","ec2:CreateTags"],"Resource":"*"}]}'

    # A load balancer with one listener before one target group.
    vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
    subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
    group=$(aws elbv2 create-target-group --name green-shop --protocol HTTP --port 8080 --vpc-id "$vpc" \
        --health-check-path /health --health-check-interval-seconds 5 --health-check-timeout-seconds 2 \
        --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text)
    aws elbv2 modify-target-group-attributes --target-group-arn "$group" \
        --attributes Key=deregistration_delay.timeout_seconds,Value=2 >/dev/null
    # shellcheck disable=SC2086  # one word a subnet
    balancer=$(aws elbv2 create-load-balancer --name green-shop --subnets $subnets \
        --query 'LoadBalancers[0].LoadBalancerArn' --output text)
    aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port "$port" \
        --default-actions "Type=forward,TargetGroupArn=$group" >/dev/null

    # The first fleet. Each deployment copies the group that serves, and the last one's goes with its instances.
    aws ec2 create-launch-template --launch-template-name green-shop --launch-template-data \
        "{\"ImageId\":\"${IMAGE:-ami-longshore}\",\"IamInstanceProfile\":{\"Name\":\"green-web\"}}" >/dev/null
    aws autoscaling create-auto-scaling-group --auto-scaling-group-name green-shop \
        --launch-template 'LaunchTemplateName=green-shop,Version=$Latest' \
        --min-size "$instances" --max-size "$instances" --desired-capacity "$instances" \
        --vpc-zone-identifier "$(echo "$subnets" | tr -s '[:space:]' ',' | sed 's/,$//')"
    until [ "$(aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names green-shop \
        --query "length(AutoScalingGroups[0].Instances[?LifecycleState=='InService'])")" = "$instances" ]; do
        sleep 1
    done

    aws deploy create-application --application-name green-shop >/dev/null
    aws deploy create-deployment-group --application-name green-shop --deployment-group-name prod \
        --service-role-arn "$(aws iam get-role --role-name green-deploy --query Role.Arn --output text)" \
        --auto-scaling-groups green-shop \
        --deployment-style deploymentType=BLUE_GREEN,deploymentOption=WITH_TRAFFIC_CONTROL \
        --load-balancer-info 'targetGroupInfoList=[{name=green-shop}]' \
        --blue-green-deployment-configuration '{
            "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": '"$minutes"'}}' \
        --deployment-config-name CodeDeployDefault.AllAtOnce >/dev/null
    aws s3 mb s3://green-shop-releases >/dev/null
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R "$shop/appspec.yml" "$shop/shop.py" "$shop/scripts" "$folder"
echo "$release" >"$folder/VERSION"
key=shop-$release-$(date +%s).zip
aws deploy push --application-name green-shop --s3-location "s3://green-shop-releases/$key" --source "$folder" >/dev/null
deployment=$(aws deploy create-deployment --application-name green-shop --deployment-group-name prod \
    --s3-location "bucket=green-shop-releases,key=$key,bundleType=zip" --query deploymentId --output text)
longshore watch "$deployment"
address=$(aws elbv2 describe-load-balancers --names green-shop --query 'LoadBalancers[0].DNSName' --output text)
echo "The shop is open on http://$address:$port/"
